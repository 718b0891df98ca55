"""What people look at: graphs as pictures, a run as one HTML page, results as thumbnails, notebooks."""
