"""What a calculation leaves in its folder: settings to go on from, tables, figures, a summary."""
