// Package network has the stories of more machines than one: a Slurm cluster, instances
// on a remote filesystem.
package network

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
