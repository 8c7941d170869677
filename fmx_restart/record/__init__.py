"""Restart Operation: from the journals to the rows of a site, and from Desk and the API to operations."""
