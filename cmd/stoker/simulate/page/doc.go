// Package page draws what a simulation came to as one HTML file that needs nothing else: no
// network, no folder beside it. A browser that opens it is told by the file itself to load
// nothing from anywhere.
//
// It shows demand against capacity over time, the cost and the late requests of every policy,
// whose functions waited for cold starts, and every figure in a table. The plots are drawn by
// Apache ECharts, whose minified build lies in echarts/ with its licence and is part of each
// file; to renew it, unpack another release of npm's echarts over it and look at a page.
//
// Memory and file are bounded by policies and functions shown, never by how long a trace is:
// time is kept in at most [maxBins] intervals that widen as the trace goes on.
package page
