"""Scripture: Bible texts as published, cleaned, aligned and split."""
