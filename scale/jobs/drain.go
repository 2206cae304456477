package jobs

import (
	"slices"
	"time"
)

const (
	// DrainShare of the times a job leaves within what [Drains.Of] says.
	DrainShare = 0.9
	// DrainsKept is how many of a program's last leaves are remembered: enough for the share above
	// to mean something, few enough that a program that was mended is soon trusted again.
	DrainsKept = 20
	// MaxPrograms bounds how many programs drains are kept of; the one that left longest ago is forgotten.
	MaxPrograms = 1000
)

// Drains are how long jobs took from being told to go until their GPUs were free, by program: the
// jobs of one user and one name. It is plain data; the zero value knows nothing and is ready.
type Drains struct {
	Programs []Drain `json:"programs,omitempty"` // who left last comes last
}

// Drain is what is known of one program.
type Drain struct {
	User string          `json:"user,omitempty"`
	Name string          `json:"name,omitempty"`
	Took []time.Duration `json:"took"` // the last ones, oldest first
}

// Learn takes a job that has left. Who had to be killed counts with the time that took.
func (d *Drains) Learn(user, name string, took time.Duration) {
	p := Drain{User: user, Name: name}
	if i := d.find(user, name); i >= 0 {
		p = d.Programs[i]
		d.Programs = slices.Delete(d.Programs, i, i+1)
	}
	p.Took = append(slices.Clone(p.Took), max(0, took))
	p.Took = p.Took[max(0, len(p.Took)-DrainsKept):]
	d.Programs = append(d.Programs, p)
	d.Programs = d.Programs[max(0, len(d.Programs)-MaxPrograms):]
}

// Forget drops a tenth of the programs, those that left longest ago, for who has no room for all; false: there
// is none.
func (d *Drains) Forget() bool {
	n := len(d.Programs)
	if n == 0 {
		return false
	}
	d.Programs = slices.Clone(d.Programs[1+n/10:])
	return true
}

func (d *Drains) find(user, name string) int {
	return slices.IndexFunc(d.Programs, func(p Drain) bool { return p.User == user && p.Name == name })
}

// Of is the time within which a job has left, nine times of ten. Of a program that has never left
// it is the grace, since nothing takes longer; while few leaves are known it is the longest of them.
func (d *Drains) Of(user, name string, grace time.Duration) time.Duration {
	i := d.find(user, name)
	if i < 0 {
		return grace
	}
	took := slices.Sorted(slices.Values(d.Programs[i].Took))
	return took[min(len(took)-1, int(DrainShare*float64(len(took))))]
}
