// Package scale says what should happen: how many replicas of which revision should run,
// which go, who holds which GPU, and what the GPU-seconds were spent on.
//
// The package is pure. Time is an argument, state goes in and comes out, a decision is a
// value; there is no clock, no I/O, no logging, no goroutine and no randomness in it. So
// the same inputs give the same decision in production, in tests and in a simulator, and
// "why?" can be answered later from what was kept. Who calls it owns the effects: the
// controller calls [Decide] on every input and hands the [Decision] to the function's
// workflow; the pool's one writer applies changes to the [Ledger].
//
// # The decider
//
//	Observation ──► learn ──► survey ──► measure ──► bound ──► roll ──► Decision
//	  pending         service    replicas   demand from  levels      split over   target, victims,
//	  in flight       times,     to count   backlog and  held, race  revisions,   reason, limit,
//	  replicas        starts,    on, set    arrivals;    min, max    GPUs free,   phase, next
//	  exits, lates    gaps,      aside,     price,       people's    backoff,
//	  free GPUs       failures   leaving    idleness     orders      victims
//	       ▲                                                            │
//	       └──────────────── State, carried from call to call ──────────┘
//
// Words:
//
//	demand      replicas that take what waits, runs and comes within the wait SLO
//	level       the k-th replica, needed while k are; it idles in gaps of its own
//	price       of a late request, GPU-seconds: rises as the error budget is used up
//	race        starting more replicas than needed, to have one in time
//	wanted      demand as the decision records it, before any limit
//	held        replicas kept although demand is lower: until their gap has lasted too long
//	window      when each level was needed last
//	rhythm      gaps that end when they are expected to; warm: started ahead of that
//	season      the half hours in which a function is used, by day and day of the week
//	keep-alive  how long the last replica idles before it is let go; auto: what pays
//	fresh, old  replicas of the current revision; of others, which serve until replaced
//	surge       the one replica a rollout may have beyond the number it rolls
//	unseen      decided on and not yet observed; counts as there for PlaceGrace
//	silent      out of reach; counts as serving
//	aside       silent for SilentReplace while requests wait: kept, no longer counted on
//	victim      a replica to drain; it stays named until it is gone, since a drain cannot
//	            be taken back
//	lost        ended unasked and not replaced yet
//	failure     ended unasked without having been of use
//	epoch       grows when a decision asks for something else, or looks different to people
//
// Scale-out is immediate. Scale-in waits: each level is held for a time of its own, the last
// one for the keep-alive. The past starts nothing but what a rhythm promises: what is held is
// there already, or was lost.
//
// # How much, and for how long
//
// The objective is a share of requests that begin within the wait SLO, at the least GPU time.
// Both meet in one number, the price of a late request: [Habits] count the lates of a pool
// against its error budget, and the price rises from 1 to 10,000 GPU-seconds while a day's budget
// is used up from three tenths to three quarters; to 3,000 when that of what came so far is, in which no
// single burst counts for much. Everything below weighs GPU-seconds with it.
//
//   - Backlog ([Size]): a queue may be as long as can begin within the SLO, less the time a
//     start takes. Where a start takes longer than the SLO allows, it helps only those to
//     come; then three tenths of the SLO may be filled while lates are cheap, nothing once they
//     are dear. From zero, such a start is for a queue that has yet to form: who comes until the
//     SLO's time before the first replica is ready is counted as waiting, at the rate since the
//     first request, less two standard deviations.
//   - Arrivals: by Little's law rate × service time runs at a time, and the rate tells so a
//     service time earlier than what runs does. Where starts are in time for what waits, that is
//     worth little, and the rate counts less four standard deviations. Where they are not, it
//     counts less two while lates are cheap, and up to three times while they are dear.
//   - Holding: the k-th replica is an application of its own that idles in gaps, as each
//     container is in the hybrid histogram of Shahrad et al. ("Serverless in the Wild", ATC
//     2020). It is held as long as the expected cost of idling on is below that of the misses
//     it saves: optimal stopping over the histogram of its gaps, in bins from a second to a
//     day. A miss costs the start and the lates it is to blame for, so what is dear to start
//     stays longer, as in the Greedy-Dual keep-alive of FaasCache (Fuerst and Sharma, ASPLOS
//     2021). Histograms of the pool stand in until a function has seen ten gaps of its own.
//     While nothing is known it is break-even: idling for what a miss would cost is at most
//     twice as dear as the best (ski rental: Karlin et al., "Competitive snoopy caching",
//     Algorithmica 1988). It is never less than a cold start.
//   - Pre-warming: what comes by a clock need not be held for in between. The narrowest window that
//     holds three quarters of the last sixteen gaps, with twice as much on both sides, is when the
//     next request is expected, and how often that was right before is how sure it is ([Rhythm]).
//     Letting the last replica go and starting one ahead of the window costs the start and the
//     waiting where the expectation is right, and a miss beside them where it is wrong. Where that
//     is less than holding it, it is what is done: the pre-warming window of the hybrid histogram,
//     with a price for being wrong. Only with keep-alive auto, and only on a GPU that is free.
//   - Times of day: office hours are no clock, and their nights are lost in a histogram of all gaps. So it is remembered in
//     which half hours of the last five weeks, by UTC, there were requests ([Season]). Past days on which a function went
//     quiet at the same time tell when it was used again; days of the same weekday count more once there are two of them.
//     Where they went quiet, gaps that would end then count for little, and the last replica goes early. Ahead of when
//     they began again one is started or held on to, by the same break-even as above. Nothing is said before three such
//     days, and nothing is done before times of day told the ends of past gaps better than the histograms, by likelihood,
//     at odds of 400 to one. After a change of clocks it is an hour off until that shows.
//   - Racing: where starts are slower than the SLO allows only sometimes, several are started
//     for one that is needed and the first to be ready stays, as long as the lates that saves
//     are worth more than a start ("The Tail at Scale", Dean and Barroso, CACM 2013). It
//     supposes that starts are slow independently of each other. Only with keep-alive auto:
//     who sets a time has said what idling is worth.
//
// What is learned is small, lives in [State] and fades. It takes effect at the next moment,
// so that a decision made twice comes out the same.
//
// Phases, as people see them:
//
//	Zero ─► Waking ─► Serving ⇄ Idle ─► Draining ─► Zero
//	          │  ▲
//	          ▼  │
//	        Waiting (no GPU)    Failing (crash loop, none serves)    Paused    Deleting
//
// Failure cases:
//
//   - No GPU is free: the target stays what can be placed, limit no-gpu names the holders;
//     a GPU that comes free is a new input. FreeGPUs < 0 says that capacity is not known:
//     the wish stands, and the ledger decides.
//   - A replica ends unasked: it is replaced at once if it had been of use, otherwise after
//     1 s, 2 s, 4 s … up to BackoffMax, one at a time. From FailingAfter failures on, the
//     phase is Failing (unless another replica serves) and a probe is started only if
//     somebody asked since: at zero a broken function costs zero. A new revision, a replica
//     that answers a request or one that stands for SettleTime ends it.
//   - A replica is silent: it is neither replaced nor let go by demand. If requests wait
//     for SilentReplace it is set aside: a further replica may be started, even beyond
//     the maximum, which bounds those that can serve; the silent one keeps its lease, and
//     Target counts it. Heard again, it is an ordinary replica, and one too many goes.
//     Only people let a silent replica go: pause, delete, a lower number, a new revision.
//   - A rollout has no free GPU for its surge: one old replica makes room, and the next
//     only after a current one took its place, even if the GPU was taken by others.
//   - A decision is not carried out: after PlaceGrace the place counts as not taken.
//   - The state is lost: what runs is adopted as the size, and leaves by the usual rules.
//   - The clock jumps back: what was remembered from the future counts as now.
//
// Reasons, a closed set, also used for limits:
//
//	wake-from-zero  requests wait and no replica runs: the first ones are started
//	backlog         what waits and runs breaks the wait SLO with the replicas there are: more are started
//	arrivals        requests come faster than the replicas there are can take for long: more are started before a queue grows
//	race            starts are often slower than the wait SLO allows: more are started than needed, the first to be ready stays
//	steady          as many replicas as are needed
//	keep-alive      no request for a while, the last replica is held warm
//	pre-warm        requests come by a rhythm, or at this time of the day: one replica is started and held for the next, which is expected soon
//	idle            no request for the keep-alive: down to the minimum, or nothing to do at zero
//	oversized       more replicas than are needed or worth holding for the next need: the surplus goes
//	min-replicas    the manifest's minimum holds the number up
//	max-replicas    the manifest's maximum holds the number down
//	budget          what is left of the budget holds the number down
//	fair-share      GPUs are short: what other functions are due holds the number down
//	no-gpu          a replica is wanted and no GPU it could use is free
//	replace-lost    a replica ended unasked, another takes its place
//	silent          held because a replica is out of reach: unreachable is not failed
//	rollout         replicas of an older revision give way to the current one
//	backoff         replicas failed, the next start waits
//	failing         replicas keep failing: one probe per backoff, if somebody asks
//	paused          paused by hand: none runs, requests are kept
//	deleting        being deleted: all drain
//	pinned          the number was set by hand
//
// # Who gets GPUs that are short
//
// While some function needs a replica for which no GPU is left, [Shares] says how many each may
// have, and the decider takes that for a maximum (fair-share). First what is out of reach, which
// nobody stops; then the manifests' minima, one replica for each that needs any, and what more is
// needed by the weights of the classes of requests (interactive 4, standard 2, batch 1) times
// those of the manifests (scaling.weight). That is weighted max-min fairness (Bertsekas and
// Gallager, "Data Networks", 1992). What is held warm goes first. Where GPUs do not suffice for
// one replica each, the most urgent class comes first, and within it functions take turns of two
// minutes.
//
// # The ledger
//
//	reserved ──Bind──► bound ──MarkDraining──► draining ──Release──► released (tombstone)
//	    │ └─────────────────────────────────────────▲                    ▲
//	    └──Expire: the reservation ran out───────────────────────────────┤
//	 unknown ◄─NodeLost─ any live state; ─NodeFound─► what it was; ─Fence┘
//
// A device has one holder, and what is claimed never exceeds what there is: [Ledger.Check]
// states it, and a property test compares every step with a naive ledger. Reservations are
// idempotent by holder. A lease that ended leaves a tombstone for TombstoneTTL, which
// refuses a start that comes late. A lease whose node is out of reach is unknown: not
// usable and not released, until the node returns or an operator fences it.
package scale
