"""What only Go needs in play: rules by their names, playouts, territory, dead stones."""
