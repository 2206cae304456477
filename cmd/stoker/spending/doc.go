// Package spending keeps the books of the pool's GPU time: it feeds the meter of scale/cost with
// what the ledger and the agents say, stores it, prices it, and holds it against budgets.
//
// What is stored, by pool:
//
//	STOKER_COST          <pool>.meter            the meter, every FlushEvery
//	STOKER_COST          <pool>.<unix time>      hours that are complete
//	STOKER_COST_MINUTES  <pool>.<unix time>      minutes that can no longer be explained
//
// Rows are stored before the meter that no longer has them. A platform that is killed in between
// begins with the older meter, seals the same rows again and overwrites what is there: nothing is
// counted twice. What was booked since the last flush is gone, and booked anew by scale/cost's
// Resume.
package spending
