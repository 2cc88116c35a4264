"""Nodes of a graph with texts: classes by sentences or by a few labels, and links."""
