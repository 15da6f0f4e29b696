"""The whole of `rtdetr-nb convert` in one call: any checkpoint to a judged, proved tuning file."""
