package kubetest

// Ended is closed once the program of a role is gone and known to be. For a role that does not run it is nil.
func (c *Cluster) Ended(role Role) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.procs[role]; p != nil {
		return p.ended
	}
	return nil
}
