package scale

import (
	"slices"

	"stoker.dev/stoker/functions"
)

// Excess is how many waiting requests of each class must be shed. Every class has room for its
// depth. A class that is over it takes the room of the classes that overload.shed names, the
// first listed first, whether anybody waits there or not; whoever is then left without room
// goes, the newest first. So the room taken is the same the next time, and what was kept once
// stays. A class never takes the room of a more urgent one.
func Excess(waiting map[functions.Class]int, s functions.Spec) map[functions.Class]int {
	over, room := map[functions.Class]int{}, map[functions.Class]int{}
	classes := functions.Classes()
	for _, c := range classes {
		room[c] = s.Queue.Depth.Of(c)
	}
	for i, c := range classes {
		for _, victim := range s.Overload.Shed {
			if slices.Index(classes, victim) <= i {
				continue
			}
			n := min(max(waiting[c]-room[c], 0), room[victim])
			room[c] += n
			room[victim] -= n
		}
		over[c] = max(waiting[c]-room[c], 0)
	}
	return over
}

// Fits tells whether one more request of a class may wait without being shed at once.
func Fits(waiting map[functions.Class]int, c functions.Class, s functions.Spec) bool {
	more := map[functions.Class]int{}
	for _, x := range functions.Classes() {
		more[x] = waiting[x]
	}
	more[c]++
	return Excess(more, s)[c] == 0
}
