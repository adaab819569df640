package server

// RoutePatterns lists the routes for tests outside of the package.
func RoutePatterns() []string {
	var patterns []string
	for pattern := range routeTable {
		patterns = append(patterns, pattern)
	}
	return patterns
}
