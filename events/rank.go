package events

import (
	"encoding/json"
	"strings"
	"time"

	"stoker.dev/stoker/functions"
)

// rankPrefix begins the name that the ranks of a job go by on the wire. No function has a name
// with an underscore, so a job and a function of one name never hear each other.
const rankPrefix = "job_"

// RankKey is the name that the ranks of a job go by where replicas of functions go by their
// function's: in subjects, permissions, labels and records.
func RankKey(job functions.Key) functions.Key {
	return functions.Key{Namespace: job.Namespace, Name: rankPrefix + job.Name}
}

// JobOfRank undoes [RankKey]; false for the name of a function.
func JobOfRank(k functions.Key) (functions.Key, bool) {
	name, ok := strings.CutPrefix(k.Name, rankPrefix)
	return functions.Key{Namespace: k.Namespace, Name: name}, ok
}

// RankConfig makes what an agent starts a rank of a training job in place of a model server. Such an
// agent pulls no requests: it waits at the barrier, in phase loading; is told to open it, starts the
// program and is in phase ready, then draining once it is told to go; and exits with the program.
type RankConfig struct {
	Generation uint64 `json:"generation"` // of the gang
	Rank       int    `json:"rank"`
	// Files that the program knows from its environment, all in a directory that is there.
	NoticeFile   string `json:"noticeFile"`
	SaveFile     string `json:"saveFile"`
	ProgressFile string `json:"progressFile"`
	ErrorFile    string `json:"errorFile"`
	// Place, where it is set, is a contract.Place in JSON. The rank is then alone in a container of its
	// own: it hears at the barrier what its environment is made of (see [Opening]), and its agent is
	// the one that sees the checkpoints. Empty: Env has everything.
	Place json.RawMessage `json:"place,omitempty"`
}

// Opening is what the ranks of a gang hear at the barrier that could not be known before.
type Opening struct {
	Addresses  []string `json:"addresses"`            // of every rank, as the others reach it
	ResumeFrom string   `json:"resumeFrom,omitempty"` // what rank 0 answered to [OpFind]
}

// Orders to the agent of a rank. Each carries the generation of the gang, and is refused by an agent
// of another.
const (
	// OpOpen opens the barrier. It may be given any number of times.
	OpOpen = "open"
	// OpNotice tells a rank to go within GraceSeconds because of Cause. A later one may only shorten that.
	OpNotice = "notice"
	// OpSave asks for a checkpoint now.
	OpSave = "save"
	// OpFind asks for the checkpoint that the gang is to begin with; the answer is its path, or empty. One
	// rank is asked for all: a shared file system may show another a moment ago.
	OpFind = "find"
)

// Rank is what an agent says of its rank, as part of its heartbeat.
type Rank struct {
	Generation uint64     `json:"generation"`
	Rank       int        `json:"rank"`
	Started    time.Time  `json:"started,omitzero"` // the program
	Step       int64      `json:"step,omitempty"`   // the last that it reported
	Loss       *float64   `json:"loss,omitempty"`
	Diverged   bool       `json:"diverged,omitempty"` // the loss was not a number
	Percent    float64    `json:"percent,omitempty"`  // done, 0 to 100
	ETASec     float64    `json:"etaSeconds,omitempty"`
	ReportedAt time.Time  `json:"reportedAt,omitzero"` // of the last line that was a report
	Saving     bool       `json:"saving,omitempty"`    // a checkpoint is being written
	Saved      *RankSaved `json:"saved,omitempty"`     // the newest committed checkpoint of this rank
	Unread     uint64     `json:"unread,omitempty"`    // lines of the progress file that were no report
	NoticedAt  time.Time  `json:"noticedAt,omitzero"`  // it was told to go
	End        *RankEnd   `json:"end,omitempty"`       // with phase exited
}

// RankSaved is a committed checkpoint.
type RankSaved struct {
	Path string    `json:"path"`
	Step int64     `json:"step"`
	At   time.Time `json:"at"`
}

// RankEnd is what an agent knows of the end of its rank.
type RankEnd struct {
	At       time.Time `json:"at"`
	ExitCode int       `json:"exitCode"`           // of the main process
	Signal   int       `json:"signal,omitempty"`   // that ended it; 0: none
	ByUs     bool      `json:"byUs,omitempty"`     // the agent sent that signal, or had told it to go
	Refused  string    `json:"refused,omitempty"`  // why the program could not be started
	OOMKills int       `json:"oomKills,omitempty"` // processes the kernel killed for want of memory
	Xids     []RankXid `json:"xids,omitempty"`     // what the driver reported of its GPUs, oldest first, the newest [MaxRankXids]
	Recovery int       `json:"recovery,omitempty"` // the gravest action that the driver wants taken on one of them; 0: none
	Error    []byte    `json:"error,omitempty"`    // the error file as it stands, cut at [MaxRankError]
	Output   string    `json:"output,omitempty"`   // the last lines
}

// RankXid is an error that NVIDIA's driver reported of a GPU, by its number.
type RankXid struct {
	Code int       `json:"code"`
	GPU  string    `json:"gpu"`
	At   time.Time `json:"at"` // when it was read, a second late at most
}

// MaxRankXids bounds them: a broken GPU reports without end, and what follows the first tells little more.
const MaxRankXids = 16

// MaxRankError bounds the error file within a heartbeat, which has to fit into a message of the broker.
const MaxRankError = 256 << 10
