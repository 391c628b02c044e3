"""Protocol classes that drivers satisfy."""
