"""Networks ranked before anybody trains them."""
