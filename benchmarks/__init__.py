"""What speed and size are measured with: a bare script to compare against, and the comparison."""
