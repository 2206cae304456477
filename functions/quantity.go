package functions

import (
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"strconv"
)

// quantityPattern is the part of Kubernetes' notation that manifests use: digits, at most
// three decimals, a unit. No sign, no exponent.
const quantityPattern = `^([0-9]{1,15})(?:\.([0-9]{1,3}))?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$`

var quantityText = regexp.MustCompile(quantityPattern)

// Quantity is an amount in Kubernetes' notation: plain (2, 0.5), in thousandths (500m), in
// powers of ten (k, M, G, T) or of two (Ki, Mi, Gi, Ti). Empty means not given.
type Quantity string

// Bytes is the amount in whole bytes, rounded up; 0 if empty or refused by Validate.
func (q Quantity) Bytes() uint64 {
	milli, err := q.parse()
	if err != nil {
		return 0
	}
	return uint64(milli+milliPerUnit-1) / milliPerUnit
}

// Milli is the amount in thousandths, such as thousandths of a core; 0 if empty or refused
// by Validate.
func (q Quantity) Milli() int64 {
	milli, err := q.parse()
	if err != nil {
		return 0
	}
	return milli
}

// Float is the amount, such as of US dollars; 0 if empty or refused by Validate.
func (q Quantity) Float() float64 { return float64(q.Milli()) / milliPerUnit }

const milliPerUnit = 1000

// maxQuantity is the largest amount in thousandths, about 92 TB. It keeps rounding up and the
// sum of a hundred amounts within an int64.
const maxQuantity = math.MaxInt64 / 100

// parse returns the amount in thousandths. Errors match ErrValue.
func (q Quantity) parse() (int64, error) {
	m := quantityText.FindStringSubmatch(string(q))
	if m == nil {
		return 0, fmt.Errorf("%w: quantity %q, want digits and a unit such as 500m or 8Gi", ErrValue, q)
	}
	whole, _ := strconv.ParseUint(m[1], 10, 64) // the pattern leaves nothing to refuse
	part, _ := strconv.ParseUint((m[2] + "000")[:3], 10, 64)
	milli := whole*milliPerUnit + part
	if m[3] == "m" {
		if part != 0 {
			return 0, fmt.Errorf("%w: quantity %q is finer than a thousandth", ErrValue, q)
		}
		milli = whole
	}
	high, low := bits.Mul64(milli, unitFactor(m[3]))
	if high != 0 || low > maxQuantity {
		return 0, fmt.Errorf("%w: quantity %q is beyond %d", ErrValue, q, uint64(maxQuantity/milliPerUnit))
	}
	return int64(low), nil
}

// unitFactor is what a unit multiplies by. Thousandths are already in the right unit.
func unitFactor(unit string) uint64 {
	switch unit {
	case "k":
		return 1e3
	case "M":
		return 1e6
	case "G":
		return 1e9
	case "T":
		return 1e12
	case "Ki":
		return 1 << 10
	case "Mi":
		return 1 << 20
	case "Gi":
		return 1 << 30
	case "Ti":
		return 1 << 40
	default:
		return 1
	}
}
