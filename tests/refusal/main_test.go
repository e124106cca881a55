// Package refusal has the stories of sessions that are refused, and of those who are
// let in nevertheless.
package refusal

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
