package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Kind says what a record tells and which of its fields count.
type Kind string

// The kinds, by who writes them. ID, Function and the like mean the fields of [Record].
const (
	Declared Kind = "declared" // Function; Steady if its replicas must never end by themselves

	Sent     Kind = "sent"     // ID, Function, Class, Via, Deadline, Nonce: about to be published, once per try
	Acked    Kind = "acked"    // ID: the broker, or the gateway for it, said that it is stored
	Refused  Kind = "refused"  // ID, Cause: a clear no, nothing of this try is stored
	Unknown  Kind = "unknown"  // ID, Cause: no clear word; it may be stored or not
	Answered Kind = "answered" // ID, Status, Attempt, and Nonce where the answer holds it: a copy of the record came

	Stored   Kind = "stored"   // ID, Function, Class, Status, Cause, Attempt, Replica; At: when the broker stored it
	Vanished Kind = "vanished" // What, and ID if it was seen: a stored record is not there any more, long before its time

	Holds    Kind = "holds"    // Replica, Function, PID, Devices: a model server has its GPUs from At on
	Conflict Kind = "conflict" // Replica, Devices: the kernel says that somebody else has the GPU
	Began    Kind = "began"    // ID, Replica, PID
	Ended    Kind = "ended"    // ID, Replica, PID
	Quit     Kind = "quit"     // ID, Replica, PID: a model server is about to end by its own fault

	Process Kind = "process" // Replica, Program, PID: seen alive at At and at Until, both included

	Replica Kind = "replica" // Replica, Function, Devices, Cause; At: begun; Until: ended, zero if it runs

	Look Kind = "look" // Leases: what the ledger held at some moment from At to Until

	Fault    Kind = "fault"    // What, Program, Replica, PID: done to a process at At
	Closing  Kind = "closing"  // from At on replicas are asked to go, steady ones too
	Complete Kind = "complete" // everything above is written down
	Left     Kind = "left"     // What, ID: a process, a lease or a consumer that is there at the end
)

// Programs that faults hit and the witness sees.
const (
	Platform = "platform"
	Agent    = "agent"
	Server   = "server"
	Other    = "other" // what a model server started
)

// What a fault did.
const (
	Kill  = "kill"  // SIGKILL
	Stop  = "stop"  // SIGSTOP
	Cont  = "cont"  // SIGCONT
	Start = "start" // of the platform's process
	Ready = "ready" // the platform serves
	Wipe  = "wipe"  // Temporal's database deleted, between two starts
)

// Record is one line of a history.
type Record struct {
	Kind     Kind      `json:"kind"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until,omitzero"`
	ID       string    `json:"id,omitempty"`
	Function string    `json:"function,omitempty"`
	Class    string    `json:"class,omitempty"`
	Via      string    `json:"via,omitempty"`
	Deadline time.Time `json:"deadline,omitzero"`
	Nonce    string    `json:"nonce,omitempty"`
	Status   string    `json:"status,omitempty"`
	Cause    string    `json:"cause,omitempty"`
	Attempt  int       `json:"attempt,omitempty"`
	Replica  string    `json:"replica,omitempty"`
	Program  string    `json:"program,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Devices  []string  `json:"devices,omitempty"`
	Leases   []Lease   `json:"leases,omitempty"`
	What     string    `json:"what,omitempty"`
	Steady   bool      `json:"steady,omitempty"`
}

// Lease is a holder's claim, as the ledger tells it.
type Lease struct {
	Replica string   `json:"replica"`
	Devices []string `json:"devices,omitempty"`
	State   string   `json:"state"`
}

// maxLine bounds one record; a look at a ledger of a thousand leases is a tenth of it.
const maxLine = 1 << 20

// Read reads a history, one JSON object a line.
func Read(r io.Reader) ([]Record, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var out []Record
	for n := 1; lines.Scan(); n++ {
		var rec Record
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			return out, fmt.Errorf("history, line %d: %w", n, err)
		}
		out = append(out, rec)
	}
	if err := lines.Err(); err != nil {
		return out, fmt.Errorf("history, after line %d: %w", len(out), err)
	}
	return out, nil
}

// Line is the record as one line, with its end.
func (r Record) Line() ([]byte, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("record of kind %s: %w", r.Kind, err)
	}
	return append(line, '\n'), nil
}
