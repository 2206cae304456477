// Package server runs one model server as a child of this process: it starts it, tells
// when it answers, keeps its last words, and makes its whole process tree go.
//
// The package owns the process's children: it reaps every one of them, those it inherits
// as a subreaper included, so nothing else in the program may start processes.
//
//	Start ──► Loading ──Ready()──► serving ──Stop(grace)──► SIGTERM … SIGKILL ──► tree gone
//	   └─ ErrSpawn        └─ ErrNeverReady       └─ Done(): it went by itself
//
// When this process is killed, the kernel kills the model server (Pdeathsig). What the
// server started outside its own thread of death is then found by the provider, by the
// STOKER_REPLICA_ID in its environment.
//
// A server that a Pod runs beside us ([Attach]) looks the same from here, but is only watched:
// its port tells whether it answers and, by refusing twice, that it is gone.
//
// Linux only: process groups, subreapers and /proc are what it is made of.
package server
