"""What the dashboard asks the job server: sign-in, pages, and the routes below /web/."""
