package functions

import (
	"regexp"
	"time"
)

// momentPattern is RFC 3339 with its zone.
const momentPattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$`

var momentText = regexp.MustCompile(momentPattern)

// Moment is a point in time in the notation of RFC 3339, with its zone. Empty means not given.
type Moment string

// Time is the point in time; the zero time if empty or refused by Validate.
func (m Moment) Time() time.Time {
	t, err := time.Parse(time.RFC3339Nano, string(m))
	if err != nil || !momentText.MatchString(string(m)) {
		return time.Time{}
	}
	return t
}
