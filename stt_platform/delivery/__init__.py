"""What the live machine is given: a folder of adapters with all that proves them, and the script that checks it there."""
