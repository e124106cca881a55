package mountfd

import "testing"

// What mountinfo says of an overlay is compared word by word; a word that the kernel
// leaves out, because the machine has it so for all overlays, is there.
func TestOverlayWords(t *testing.T) {
	o := Overlay{words: []string{"lowerdir+=/base", "upperdir=/i/upper", "workdir=/i/work", "index=on", "redirect_dir=on"}}
	layers := []string{"rw", "lowerdir+=/base", "upperdir=/i/upper", "workdir=/i/work"}
	for name, c := range map[string]struct {
		more     []string
		without  int // of layers, from the end
		defaults string
		fits     bool
	}{
		"as it was told":          {more: []string{"redirect_dir=on", "index=on", "uuid=on", "xino=on"}, fits: true},
		"by default":              {defaults: "redirect_dir index", fits: true},
		"one by default":          {more: []string{"index=on"}, defaults: "redirect_dir", fits: true},
		"without an option":       {more: []string{"redirect_dir=on"}},
		"against the default":     {more: []string{"redirect_dir=on", "index=off"}, defaults: "index"},
		"metacopy is off":         {more: []string{"redirect_dir=on", "index=on", "metacopy=off"}, defaults: "metacopy", fits: true},
		"metacopy by default":     {more: []string{"redirect_dir=on", "index=on"}, defaults: "metacopy"},
		"metacopy":                {more: []string{"redirect_dir=on", "index=on", "metacopy=on"}},
		"another layer":           {more: []string{"redirect_dir=on", "index=on", "lowerdir+=/etc"}},
		"all layers in one word":  {more: []string{"redirect_dir=on", "index=on", "lowerdir=/base:/etc"}},
		"data of another layer":   {more: []string{"redirect_dir=on", "index=on", "datadir+=/etc"}},
		"another upper":           {more: []string{"redirect_dir=on", "index=on", "upperdir=/etc"}},
		"notes that users write":  {more: []string{"redirect_dir=on", "index=on", "userxattr"}},
		"without a layer":         {more: []string{"redirect_dir=on", "index=on"}, without: 1},
		"redirections nowhere":    {more: []string{"redirect_dir=nofollow", "index=on"}},
		"another one by its name": {more: []string{"redirect_dir=on", "index=on", "workdir=/other"}},
	} {
		defaults := func(option string) bool {
			return c.defaults != "" && (option == c.defaults || c.defaults == "redirect_dir index" && option != "metacopy")
		}
		err := o.compare(append(layers[:len(layers)-c.without:len(layers)-c.without], c.more...), defaults)
		if (err == nil) != c.fits {
			t.Errorf("%s: %v", name, err)
		}
	}
}
