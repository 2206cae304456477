package jobs

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// makeRoom has jobs behind a waiting one give up what it needs: as few as it takes, in the order in
// which least is lost. What they hold it gets once they have gone.
func (t *turn) makeRoom(at int) bool {
	o := &t.order[at]
	ranks := t.s.Jobs[o.index].least()
	if ranks*t.s.Jobs[o.index].per() > t.soon.own+t.movable[at] {
		return false // whoever is behind it
	}
	trial := t.soon.clone()
	fits := func(r *room) bool {
		_, ok := t.fits(r, o, ranks, 0)
		return ok
	}
	victims := t.behind(at)
	if !fits(t.without(victims)) {
		return false
	}
	slices.SortStableFunc(victims, func(a, b *standing) int { return t.losesLess(a.index, b.index) })
	chosen := 0
	for ; chosen < len(victims) && !fits(&trial); chosen++ {
		t.give(&trial, victims[chosen].index, t.s.Jobs[victims[chosen].index].ranks())
	}
	victims = t.spare(victims[:chosen], &trial, fits)
	for _, v := range victims {
		t.dismiss(v, Step{Action: Preempt, Reason: ReasonOutranked, For: t.s.Jobs[o.index].ID}, t.shrunk(v, &trial, fits))
	}
	t.soon = trial
	where, _ := t.fits(&trial, o, ranks, 0)
	t.take(o, where, ranks, Step{Action: Admit, Reason: o.admission(&t.s.Jobs[o.index], t.blocked), Later: true})
	return true
}

// behind are the running jobs behind one that would make room for it, the last in the order first.
func (t *turn) behind(at int) (out []*standing) {
	for i := len(t.order) - 1; i > at; i-- {
		v := &t.order[i]
		if t.s.Jobs[v.index].Running() && !t.gone[v.index] && !v.holds && v.yields(&t.order[at]) {
			out = append(out, v)
		}
	}
	return out
}

// without is the room that there would be without some jobs.
func (t *turn) without(jobs []*standing) *room {
	r := t.soon.clone()
	for _, v := range jobs {
		t.give(&r, v.index, t.s.Jobs[v.index].ranks())
	}
	return &r
}

// losesLess orders victims: who runs on loans first, then the lowest priority, then who has done
// least since its last committed checkpoint, told apart by the power of two of the GPU-hours.
func (t *turn) losesLess(a, b int) int {
	x, y := &t.s.Jobs[a], &t.s.Jobs[b]
	return cmp.Or(
		cmp.Compare(min(1, t.loans[b]), min(1, t.loans[a])),
		cmp.Compare(x.Priority, y.Priority),
		cmp.Compare(t.s.lossLevel(x), t.s.lossLevel(y)),
	)
}

func (s *Snapshot) lossLevel(j *Job) float64 {
	return math.Floor(math.Log2(max(1, float64(j.GPUs)*j.atRisk(s.Now).Hours())))
}

// spare takes out of the victims those that are not needed, the last chosen first.
func (t *turn) spare(victims []*standing, trial *room, fits func(*room) bool) []*standing {
	for i := len(victims) - 2; i >= 0; i-- { // without the last of them it did not fit
		without := trial.clone()
		t.give(&without, victims[i].index, -t.s.Jobs[victims[i].index].ranks())
		if fits(&without) {
			*trial = without
			victims = slices.Delete(victims, i, i+1)
		}
	}
	return victims
}

// shrunk is the largest size an elastic victim can keep; 0: it has to go.
func (t *turn) shrunk(v *standing, trial *room, fits func(*room) bool) int {
	j := &t.s.Jobs[v.index]
	for i := len(j.Sizes) - 1; i >= 0; i-- {
		if j.Sizes[i] >= j.ranks() {
			continue
		}
		kept := trial.clone()
		t.give(&kept, v.index, -j.ranks())
		t.give(&kept, v.index, j.ranks()-j.Sizes[i])
		if fits(&kept) {
			*trial = kept
			return j.Sizes[i]
		}
	}
	return 0
}

// dismiss notes that a job has to go, or to come back with so many ranks.
func (t *turn) dismiss(v *standing, st Step, ranks int) {
	full := t.s.step(st.Action, v.ranked, st.Reason)
	full.For, full.KillAt = st.For, st.KillAt
	j := &t.s.Jobs[v.index]
	if ranks > 0 {
		full.Action, full.Ranks, full.Inputs.GPUs = Resize, ranks, ranks*j.per()
		if st.Action == Preempt {
			full.Reason = ReasonSmaller
		}
		if t.nodes[v.index] != nil {
			full.Nodes = j.On[:ranks]
		}
	}
	t.gone[v.index] = true
	t.lent -= min(t.loans[v.index], j.GPUs-ranks*j.per())
	t.stop = append(t.stop, full)
}

// vanished has jobs go if more is held than there is, the last in the order first among those who
// lose as much.
func (t *turn) vanished() {
	if t.soon.own >= 0 || len(t.order) == 0 {
		return
	}
	var all []*standing
	for i := len(t.order) - 1; i >= 0; i-- {
		if o := &t.order[i]; t.s.Jobs[o.index].Running() && !o.holds && !t.gone[o.index] {
			all = append(all, o)
		}
	}
	slices.SortStableFunc(all, func(a, b *standing) int { return t.losesLess(a.index, b.index) })
	for i := 0; i < len(all) && t.soon.own < 0; i++ {
		t.give(&t.soon, all[i].index, t.s.Jobs[all[i].index].ranks())
		t.dismiss(all[i], Step{Action: Preempt, Reason: ReasonVanished}, 0)
	}
}

// freeAt is when nobody can object any more to a running job's making room; zero: never.
func (j *Job) freeAt() time.Time {
	if !j.Preemptible {
		return time.Time{}
	}
	return j.Started.Add(max(j.MinRuntime, LossesWorked*j.Loss))
}
