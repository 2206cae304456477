package job

// Again are the commands that a job in a state may be waiting for, for whoever has lost count of what
// was carried out. Each is idempotent, so doing one twice does no harm.
func Again(s State) []Command {
	c := Command{Generation: s.Generation}
	switch s.Phase {
	case Admitted:
		c.Do, c.Nodes = Bind, s.Gang.Nodes
	case Placed, Barrier:
		c.Do = Start
	case Running, Checkpointing:
		c.Do = Open
	case Draining:
		c.Do, c.Cause, c.KillAt = Notify, s.Gang.Ask.Cause, s.Gang.Ask.KillAt
		if s.Gang.Ask.Killed {
			c.Do = Kill
		}
	case Validated:
		c.Do = Enqueue
	case Queued, Recovering, Paused, Succeeded, Failed, Cancelled, TimedOut, Rejected:
		return nil
	}
	return []Command{c}
}
