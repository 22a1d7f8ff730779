"""Files that other people's cameras, scanners and scripts never made: bombs and mutations, through whole jobs."""
