package loan

import (
	"slices"
	"time"

	"stoker.dev/stoker/scale/jobs"
)

const (
	// DemandBin is how finely demand is told apart: longer than a recall takes and a replica needs to
	// start, so that what rises within one can be met by what is kept free.
	DemandBin = 5 * time.Minute
	// DemandDays is how many days are remembered, so that each day of the week is among them.
	DemandDays = 7
	// SurgeShare of all bins rise by no more than what is kept free for that. With 0.99 and a recorded day of bursts
	// nearly nothing was lent, and with 0.5 no more requests were late: what is kept free only saves recalls.
	SurgeShare = 0.9

	binsPerDay = int(24 * time.Hour / DemandBin)
)

// horizons are for how long GPUs are offered.
var horizons = []time.Duration{10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour}

// Demand is how many GPUs a lender has wanted, those that it holds warm included: the policies that
// decide on replicas have judged by their own forecasts that they will be needed. It is plain data;
// the zero value knows nothing and is ready.
type Demand struct {
	Most  []int `json:"most,omitempty"` // in each bin, oldest first; the last one is not over
	Began int64 `json:"began"`          // of the first, counted in bins since 1970
	Last  int   `json:"last"`           // what it wants
	// Surge is by how much demand rises from one bin to the next, in all but a few of them.
	Surge int `json:"surge"`
}

func binOf(now time.Time) int64 { return now.Unix() / int64(DemandBin/time.Second) }

// See takes in how many GPUs the lender wants from now on. Moments only go forward.
func (d *Demand) See(gpus int, now time.Time) {
	bin := binOf(now)
	if len(d.Most) == 0 {
		d.Began, d.Most, d.Last = bin, []int{gpus}, gpus
		return
	}
	newest := d.Began + int64(len(d.Most)) - 1
	for n := bin - d.Began - int64(len(d.Most)) + 1; n > 0; n-- {
		d.Most = append(d.Most, d.Last)
		if over := len(d.Most) - DemandDays*binsPerDay; over > 0 {
			d.Most, d.Began = d.Most[over:], d.Began+int64(over)
		}
	}
	if bin > newest {
		d.Surge = surge(d.Most[:len(d.Most)-1])
	}
	d.Last = gpus
	d.Most[len(d.Most)-1] = max(d.Most[len(d.Most)-1], gpus)
}

// expected is the highest demand from now on for so long, as it was at these times of any day that is
// remembered; false: not one day is.
func (d *Demand) expected(now time.Time, ahead time.Duration) (gpus int, ok bool) {
	first, last := binOf(now), binOf(now.Add(ahead))
	for day := range int64(DemandDays) {
		from := first - (day+1)*int64(binsPerDay) - d.Began
		if from < 0 {
			break
		}
		ok = true
		to := min(last-(day+1)*int64(binsPerDay)-d.Began, int64(len(d.Most))-1)
		gpus = max(gpus, slices.Max(d.Most[from:to+1]))
	}
	return gpus, ok
}

// surge is the rise from one bin to the next that is exceeded seldom.
func surge(most []int) int {
	rises := make([]int, 0, len(most))
	for i := 1; i < len(most); i++ {
		rises = append(rises, max(0, most[i]-most[i-1]))
	}
	if len(rises) == 0 {
		return 0
	}
	slices.Sort(rises)
	return rises[min(len(rises)-1, int(SurgeShare*float64(len(rises))))]
}

// Knows tells whether the same time of a day before was seen.
func (d *Demand) Knows(now time.Time) bool {
	_, ok := d.expected(now, 0)
	return ok
}

// Spare is how many GPUs of a share may be on loan while the lender wants so many: what is beyond
// that and a usual surge. What is on loan above it is recalled before it is needed.
func (d *Demand) Spare(share, wanted int) int { return max(0, share-wanted-d.Surge) }

// Offers are what a lender with a share of so many GPUs, of which it wants so many now, can lend. One
// that was not seen for a day lends nothing.
func (d *Demand) Offers(share, wanted int, now time.Time) []jobs.Offer {
	spare := d.Spare(share, wanted)
	if !d.Knows(now) || spare == 0 {
		return nil
	}
	// What is on loan stays so while it is spare, whatever is expected; the first offer is too short for more.
	offers := []jobs.Offer{{GPUs: spare, Until: now.Add(time.Minute)}}
	for _, h := range horizons {
		gpus, _ := d.expected(now, h)
		if n := min(spare, share-gpus); n > 0 {
			offers = append(offers, jobs.Offer{GPUs: n, Until: now.Add(h)})
		}
	}
	return offers
}
