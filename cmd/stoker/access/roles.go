package access

import "slices"

// Action is what somebody wants to do.
type Action string

// The actions. Each is about one namespace, or, where none is named, about the whole platform.
const (
	Look        Action = "look"             // lists, descriptions, decisions, events, metrics
	Invoke      Action = "invoke"           // send requests, over HTTP or NATS, and get their answers
	ReadRecords Action = "read records"     // terminal records by id
	Deploy      Action = "deploy"           // apply, delete, scale, pause
	ReadLogs    Action = "read logs"        // what model servers write
	DeadLetters Action = "use dead letters" // read, run again and purge them
	Administer  Action = "administer"       // Temporal and its UI, profiles, everything else
)

// Actions are all of them.
func Actions() []Action {
	return []Action{Look, Invoke, ReadRecords, Deploy, ReadLogs, DeadLetters, Administer}
}

// Role is a set of actions.
type Role string

// Roles of users.
const (
	Admin    Role = "admin"
	Deployer Role = "deployer"
	Caller   Role = "caller"
	Viewer   Role = "viewer"
)

// Roles of those without credentials on loopback.
const (
	roleLocal     Role = "local"
	roleAnonymous Role = "anonymous"
)

// Roles are those an operator can give, most powerful first.
func Roles() []Role { return []Role{Admin, Deployer, Caller, Viewer} }

// granted is the table of the package's documentation.
var granted = map[Role][]Action{
	Admin:         Actions(),
	Deployer:      {Look, Invoke, ReadRecords, Deploy, ReadLogs, DeadLetters},
	Caller:        {Look, Invoke, ReadRecords},
	Viewer:        {Look},
	roleLocal:     {Look, Invoke, ReadRecords},
	roleAnonymous: {Look, Invoke},
}

// may tells whether a role has an action. An unknown role has none.
func (r Role) may(a Action) bool { return slices.Contains(granted[r], a) }
