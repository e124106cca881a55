package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/kit"
)

var longForm = regexp.MustCompile(`go test .*? ((?:\./tests/\w+ ?)+) ?-run '\^\(([\w|]+)\)\$'`)

// A long form runs each test that it names. go test is content where a folder has
// none of that name.
func TestLongFormsRunWhatTheyName(t *testing.T) {
	for _, target := range []string{"attacks", "seeds", "soak", "scale"} {
		cmd := exec.Command("make", "-n", target)
		cmd.Dir = kit.Root
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("make -n %s: %v\n%s", target, err, out)
		}
		m := longForm.FindStringSubmatch(string(out))
		if m == nil {
			t.Errorf("make %s: no go test is found in\n%s", target, out)
			continue
		}
		there := ""
		for _, folder := range strings.Fields(m[1]) {
			files, _ := filepath.Glob(filepath.Join(kit.Root, folder, "*_test.go"))
			for _, file := range files {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				there += string(raw)
			}
		}
		for _, name := range strings.Split(m[2], "|") {
			if !strings.Contains(there, "\nfunc "+name+"(") {
				t.Errorf("make %s: %s is in none of %s", target, name, m[1])
			}
		}
	}
}
