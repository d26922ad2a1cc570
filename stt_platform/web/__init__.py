"""Other machines: recordings from the web (list a channel, propose a sample, download it), and the server of reviewers."""
