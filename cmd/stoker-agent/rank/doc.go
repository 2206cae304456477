// Package rank is what an agent knows of the rank that it runs, and the files by which the rank's
// program and the platform talk: the package scale/job/contract says what is in them. It starts no
// process and keeps no time; the agent does.
//
//	PROGRESS_FILE            ──[Tail]──► reports ──[Progress]──► heartbeats
//	an order to save         ──[AskToSave]──► SAVE_FILE
//	TORCHELASTIC_ERROR_FILE  ──[LastWords]──► the end of the rank
//
// The program owns what it writes, and may write anything. Nothing that it does to its files stops
// the agent, or costs it more than a bounded amount of memory and of time at each look: a line that
// goes on and on is passed over, what was written faster than it is read is skipped, and what is no
// regular file is not opened.
package rank
