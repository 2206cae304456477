package functions

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// describeNode shows what stands at a node as it is written there.
func describeNode(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.ShortTag() == "!!null":
		return "no value"
	case n.ShortTag() == "!!str":
		return strconv.Quote(shorten(n.Value))
	default:
		return shorten(n.Value)
	}
}

// quoteHint tells how to make a text of what YAML reads as something else.
func quoteHint(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	return fmt.Sprintf("put it in quotes to make it a text: %q", shorten(n.Value))
}

// textHint is quoteHint, except that nothing shows a value that may be a secret and that
// keepAlive is a text which people write as a number.
func (g *grammar) textHint(n *yaml.Node, at place) string {
	switch {
	case g.ruleAt(at.kind).secret:
		return "put it in quotes to make it a text"
	case at.kind == "spec.scaling.keepAlive":
		return durationHint(n.Value)
	default:
		return quoteHint(n)
	}
}

var looseDays = regexp.MustCompile(`^([0-9]{1,3}) *d(ays?)?$`)

// durationHint tells how to write what was probably meant; "" for what is a duration.
func durationHint(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if durationText.MatchString(s) {
		return ""
	}
	if len(s) <= len("86400") && decimalText.MatchString(s) && s[0] != '-' {
		return fmt.Sprintf("a duration has a unit; did you mean %ss?", s)
	}
	if m := looseDays.FindStringSubmatch(s); m != nil {
		days, _ := strconv.Atoi(m[1]) // digits, and three of them at most
		return fmt.Sprintf("the largest unit is the hour; did you mean %dh?", days*24)
	}
	if compact := strings.ReplaceAll(s, " ", ""); durationText.MatchString(compact) {
		return fmt.Sprintf("did you mean %s?", compact)
	}
	return "write numbers with their units, such as 500ms, 2s or 1h30m, with no spaces and no sign"
}

var looseQuantity = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) *([kKmMgGtT]?)([iI]?)[bB]?$`)

// memoryHint tells how to write what was probably meant: 40 GB as 40Gi or 40G.
func memoryHint(s string) string {
	m := looseQuantity.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || m[2] != "" && quantityText.MatchString(s) { // no amount, or one with its unit
		return ""
	}
	number, unit := m[1], strings.ToUpper(m[2])
	decimal := unit
	if unit == "K" {
		decimal = "k"
	}
	switch {
	case unit == "":
		return fmt.Sprintf("was a unit forgotten? Write %sGi for gibibytes", number)
	case m[3] != "":
		return fmt.Sprintf("did you mean %s%si?", number, unit)
	default:
		return fmt.Sprintf("did you mean %s%si, or %s%s in powers of ten?", number, unit, number, decimal)
	}
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// nameHint is the nearest name that is allowed.
func nameHint(s string) string {
	near := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(s), "-"), "-")
	if len(near) > MaxNameBytes || near == "" {
		return ""
	}
	return "did you mean " + near + "?"
}
