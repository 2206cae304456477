package loan

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// seen is a lender that wants as many GPUs in each five minutes as a day's hour says, for so many days.
func seen(days int, wants func(hour int) int) *Demand {
	d := &Demand{}
	for i := range days * binsPerDay {
		at := now.Add(time.Duration(i) * DemandBin)
		d.See(wants(at.Hour()), at)
	}
	return d
}

func byDay(hour int) int {
	if hour >= 8 && hour < 20 {
		return 60
	}
	return 10
}

func TestALenderThatWasNotSeenForADayLendsNothing(t *testing.T) {
	d := seen(1, byDay)
	if got := d.Offers(64, 10, now.Add(24*time.Hour-DemandBin)); got != nil {
		t.Errorf("before the day is over: %+v", got)
	}
	if got := d.Offers(64, 10, now.Add(24*time.Hour)); len(got) == 0 {
		t.Error("a day later nothing")
	}
}

func TestWhatIsExpectedToBeWantedIsNotOffered(t *testing.T) {
	d := seen(3, byDay)
	if d.Surge != 0 {
		t.Errorf("surge %d: two rises a week are seldom", d.Surge)
	}
	most := map[time.Duration]int{} // GPUs that are offered for at least so long, at five in the morning
	morning := now.Add(3*24*time.Hour + 17*time.Hour)
	for _, o := range d.Offers(64, 10, morning) {
		most[o.Until.Sub(morning)] = o.GPUs
	}
	for h, want := range map[time.Duration]int{time.Minute: 54, 10 * time.Minute: 54, 2 * time.Hour: 54, 4 * time.Hour: 4, 8 * time.Hour: 4} {
		if most[h] != want {
			t.Errorf("for %v: %d GPUs, want %d of %v", h, most[h], want, most)
		}
	}
}

func TestAUsualSurgeIsKeptFree(t *testing.T) {
	d := seen(2, func(hour int) int { return 10 })
	if got := d.Spare(64, 10); got != 54 {
		t.Errorf("%d to spare, want all that is not wanted", got)
	}
	at := now.Add(2 * 24 * time.Hour)
	for i := range 800 { // in every fourth of them it rises by 7
		d.See(10+7*(i%4/3), at.Add(time.Duration(i)*DemandBin))
	}
	if got := d.Spare(64, 10); d.Surge != 7 || got != 47 {
		t.Errorf("surge %d, %d to spare", d.Surge, got)
	}
	if got := d.Spare(64, 60); got != 0 {
		t.Errorf("%d to spare of what is wanted", got)
	}
}

// TestDemandIsPlainDataAndBounded: a week is remembered, and read back it offers the same.
func TestDemandIsPlainDataAndBounded(t *testing.T) {
	d := seen(20, byDay)
	if len(d.Most) != DemandDays*binsPerDay {
		t.Errorf("%d bins", len(d.Most))
	}
	text, err := json.Marshal(d)
	must(t, err)
	var back Demand
	must(t, json.Unmarshal(text, &back))
	at := now.Add(20 * 24 * time.Hour)
	if a, b := d.Offers(64, 5, at), back.Offers(64, 5, at); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v, read back %+v", a, b)
	}
	d.See(3, at.Add(30*24*time.Hour)) // nothing was seen for a month: as it was
	if len(d.Most) != DemandDays*binsPerDay || d.Most[0] != 10 && d.Most[0] != 60 {
		t.Errorf("after a month: %d bins, %d first", len(d.Most), d.Most[0])
	}
}
