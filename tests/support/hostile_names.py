"""Names of files that would like to be more than text on a page, and how they must stand there."""

from __future__ import annotations

NAMES = (
    "<script>alert('id')<b>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "javascript:alert(2).jpg",
    "\u202egpj.live\nnext line.jpg",
    "{{ 7 * 7 }}{% raw %}&amp;.jpg",
    "<svg onload=alert(3)>'`.jpg",
)
TEXTS = (NAMES[0], NAMES[1], NAMES[2], "\\u202egpj.live", NAMES[4], NAMES[5])
