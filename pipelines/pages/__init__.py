"""What people look at: pages of HTML with pictures, of what other jobs have written.

May import every job whose results it shows, and what stands below them.
"""
