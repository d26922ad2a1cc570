"""What tests share: small homes, tiny models, local servers."""
