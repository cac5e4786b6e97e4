"""endwell: an asynchronous HTTP client in which everything that is opened ends well."""
