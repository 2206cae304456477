package training

import (
	"maps"
	"math"
	"strconv"
	"testing"

	"stoker.dev/stoker/functions"
	"stoker.dev/stoker/scale/job"
)

// ddp is a job that trains with PyTorch over gloo.
func ddp(t *testing.T, launcher ...string) *trainingJob {
	t.Helper()
	command := append([]string{Python(t, "torch.distributed")}, launcher...)
	j := newJob(t, functions.FrameworkTorch, append(command, Program(t, "ddp.py"))...)
	j.env = []string{
		"CUDA_VISIBLE_DEVICES=",     // gloo, wherever the test runs
		"GLOO_SOCKET_IFNAME=lo",     // the machine's own name need not resolve
		"OMP_NUM_THREADS=1",         // the ranks share its cores
		"PYTHONDONTWRITEBYTECODE=1", // beside the example
	}
	return j
}

// uninterrupted are the losses of the same training in one rank that nobody stops.
func uninterrupted(t *testing.T, steps int64) map[int64]float64 {
	t.Helper()
	g := ddp(t).start(1, "--steps", strconv.FormatInt(steps, 10))
	g.want(job.ClassDone)
	return g.losses()
}

// sameCurve wants the attempts of a job to have trained as one that nobody stops. Sums over other numbers of
// ranks are rounded differently, and training carries that on.
func sameCurve(t *testing.T, steps int64, attempts ...*gang) {
	t.Helper()
	const tolerance = 0.02
	want, got := uninterrupted(t, steps), map[int64]float64{}
	for _, g := range attempts {
		maps.Copy(got, g.losses())
	}
	maps.DeleteFunc(got, func(step int64, _ float64) bool { return step > steps }) // of an attempt that was killed
	if len(got) != int(steps) || len(want) != int(steps) {
		t.Fatalf("losses of %d steps in several attempts and of %d in one, want %d", len(got), len(want), steps)
	}
	for step, loss := range want {
		if math.Abs(got[step]-loss) > tolerance*loss {
			t.Errorf("loss %g after step %d, and %g in a training that nobody stopped", got[step], step, loss)
		}
	}
	if want[steps] > want[1]/2 {
		t.Errorf("loss %g at first and %g at last: nothing was learned", want[1], want[steps])
	}
}

// allSaved wants every rank to have left with the same checkpoint behind it.
func allSaved(t *testing.T, g *gang) {
	t.Helper()
	for rank, code := range g.codes() {
		if code != functions.ExitSaved {
			t.Errorf("rank %d exits with %d, want %d", rank, code, functions.ExitSaved)
		}
	}
}

func TestDDPGivesWayAndGoesOnWithOtherNumbersOfNodes(t *testing.T) {
	j := ddp(t)
	two := j.start(2, "--steps", manySteps)
	two.awaitStep(10)
	two.notify(job.CauseRecalled)
	two.want(job.ClassPreempted)
	allSaved(t, two)

	four := j.start(4, "--steps", manySteps)
	four.awaitStep(j.newest().Step + 10)
	four.notify(job.CauseResized)
	four.want(job.ClassPreempted)
	allSaved(t, four)

	steps := j.newest().Step + 10
	last := j.start(2, "--steps", strconv.FormatInt(steps, 10))
	last.want(job.ClassDone)
	sameCurve(t, steps, two, four, last)
}

// The peers of a rank that is killed notice by themselves, and it is not they who are to blame.
func TestDDPRankKilled(t *testing.T) {
	j := ddp(t)
	g := j.start(4, "--steps", manySteps, "--checkpoint-every", "10")
	g.awaitStep(25)
	const victim = 2
	g.ranks[victim].killTree()
	v := g.want(job.ClassKilled)
	if v.Rank != victim || v.Action != job.ActionElsewhere || v.Spends != job.SpendsInfra {
		t.Errorf("verdict %+v, want rank %d to be started elsewhere for free", v, victim)
	}
	for _, r := range g.ranks {
		if e := r.evidence(); r.place.Rank != victim && (e.ExitCode == 0 || e.Error == nil) {
			t.Errorf("rank %d does not say that it lost a peer: %+v", r.place.Rank, e)
		}
	}
	saved := j.newest().Step
	if saved < 20 || saved%10 != 0 {
		t.Errorf("the newest checkpoint holds step %d", saved)
	}
	steps := saved + 5
	again := j.start(2, "--steps", strconv.FormatInt(steps, 10))
	again.want(job.ClassDone)
	sameCurve(t, steps, g, again)
}

// torchrun starts a process per GPU, and makes 1 of whatever they exit with.
func TestDDPUnderTorchrun(t *testing.T) {
	// The defaults of these two break torch 1.13 under Python 3.11. With 1 the output comes out all the same.
	j := ddp(t, "-m", "torch.distributed.run", "--redirects=1", "--tee=1")
	j.spec.Resources.GPUsPerNode = 2
	g := j.start(2, "--steps", manySteps)
	g.awaitStep(10)
	g.notify(job.CausePreempted)
	g.want(job.ClassPreempted)
	saved := j.newest().Step
	steps := saved + 10
	again := j.start(1, "--steps", strconv.FormatInt(steps, 10))
	again.want(job.ClassDone)
	sameCurve(t, steps, g, again)
}

// A mistake in the command line is not tried again.
func TestDDPWithRanksThatDoNotFit(t *testing.T) {
	g := ddp(t).start(3, "--steps", "10")
	if v := g.want(job.ClassConfig); v.Action != job.ActionFail {
		t.Errorf("verdict %+v", v)
	}
}
