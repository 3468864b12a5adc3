/* folder: which pictures there are, and the class of each.
 *
 * DIR/train/CLASS/... and DIR/test/CLASS/... (or DIR/val). Classes are the folders of train in the order
 * of their bytes, or the lines of DIR/classes.txt; pictures may lie in folders below their class. What
 * would change labels or leave pictures out unseen is an error; files that are no pictures are passed over. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/data_internal.h"

enum { MAX_DEPTH = 16 };

static int layout_hint(int rc)
{
    return base_hint(rc, "expected: DIR/train/CLASS/*.png and DIR/test/CLASS/*.png (or .jpg)");
}

/* ---- names of one folder ---------------------------------------------------------- */

struct list { char **name; int n, cap; };

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_free(struct list *l)
{
    for (int i = 0; i < l->n; i++)
        base_free(l->name[i]);
    base_free(l->name);
    *l = (struct list){0};
}

static int list_add(struct list *l, const char *text, size_t len)
{
    if (l->n == l->cap) {
        int bigger = l->cap ? 2 * l->cap : 64;
        char **q = base_realloc(l->name, (size_t)l->cap * sizeof *q, (size_t)bigger * sizeof *q);
        if (!q)
            return BASE_NOMEM;
        l->name = q;
        l->cap = bigger;
    }
    char *name = base_alloc(len + 1);
    if (!name)
        return BASE_NOMEM;
    memcpy(name, text, len);
    l->name[l->n++] = name;
    return BASE_OK;
}

/* All entries but hidden ones, sorted. */
static int list_folder(struct list *out, const char *dir)
{
    *out = (struct list){0};
    DIR *d = opendir(dir);
    if (!d)
        return layout_hint(base_fail(BASE_INPUT, "%s: %s", dir, strerror(errno)));
    int rc = BASE_OK;
    errno = 0;
    for (struct dirent *e; !rc && (e = readdir(d)); errno = 0)
        if (e->d_name[0] != '.')
            rc = list_add(out, e->d_name, strlen(e->d_name));
    if (!rc && errno)
        rc = base_fail(BASE_IO, "%s: cannot read: %s", dir, strerror(errno));
    closedir(d);
    if (rc)
        list_free(out);
    else if (out->n)
        qsort(out->name, (size_t)out->n, sizeof *out->name, by_name);
    return rc;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static bool has_ending(const char *name, const char *const *ending)
{
    const char *dot = strrchr(name, '.');
    for (; dot && *ending; ending++)
        if (!strcasecmp(dot + 1, *ending))
            return true;
    return false;
}

static bool is_picture(const char *name)
{
    static const char *const endings[] = {"png", "jpg", "jpeg", "jpe", "jfif", NULL};
    return has_ending(name, endings);
}

/* What we cannot read and must not leave out in silence. */
static bool is_other_picture(const char *name)
{
    static const char *const endings[] = {"bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "heic", "avif", "jp2", NULL};
    return has_ending(name, endings);
}

/* ---- pictures of one class ----------------------------------------------------------- */

static int grow(struct data_folder *f)
{
    int cap = f->cap ? 2 * f->cap : 256;
    size_t *at = base_realloc(f->at, (size_t)f->cap * sizeof *at, (size_t)cap * sizeof *at);
    if (at)
        f->at = at;
    uint16_t *label = base_realloc(f->label, (size_t)f->cap * sizeof *label, (size_t)cap * sizeof *label);
    if (label)
        f->label = label;
    if (!at || !label)
        return BASE_NOMEM;
    f->cap = cap;
    return BASE_OK;
}

static int add_picture(struct data_folder *f, const char *name, int label)
{
    size_t len = strlen(name) + 1;
    if (f->n == 1 << 29)
        return base_fail(BASE_INPUT, "%s: more than %d pictures", f->root, f->n);
    if (f->n == f->cap && grow(f))
        return BASE_NOMEM;
    if (f->names_len + len > f->names_cap) {
        size_t cap = 2 * (f->names_cap + len);
        char *names = base_realloc(f->names, f->names_cap, cap);
        if (!names)
            return BASE_NOMEM;
        f->names = names;
        f->names_cap = cap;
    }
    memcpy(f->names + f->names_len, name, len);
    f->at[f->n] = f->names_len;
    f->label[f->n++] = (uint16_t)label;
    f->names_len += len;
    return BASE_OK;
}

/* The folders that lead to where we are: a link to one of them is a loop. */
struct level { dev_t dev; ino_t ino; const struct level *up; int depth; };

static int add_folder(struct data_folder *f, const char *name, int label, const struct level *up);

/* `name`: below the root. */
static int add_entry(struct data_folder *f, const char *name, int label, const struct level *up)
{
    struct stat st;
    char *path = data_join(f->root, name);
    if (!path)
        return BASE_NOMEM;
    bool picture = is_picture(name);
    int rc = BASE_OK;
    if (stat(path, &st)) {
        if (picture || errno != ENOENT)
            rc = base_hint(base_fail(BASE_INPUT, "%s: %s", path, strerror(errno)), "remove or mend the link");
    } else if (S_ISDIR(st.st_mode)) {
        struct level here = {st.st_dev, st.st_ino, up, up ? up->depth + 1 : 0};
        for (const struct level *l = up; l && !rc; l = l->up)
            if (l->dev == st.st_dev && l->ino == st.st_ino)
                rc = base_hint(base_fail(BASE_INPUT, "%s: a link to a folder above it", path), "remove the link");
        if (!rc && here.depth > MAX_DEPTH)
            rc = base_fail(BASE_INPUT, "%s: more than %d folders deep", path, MAX_DEPTH);
        if (!rc)
            rc = add_folder(f, name, label, &here);
    } else if (is_other_picture(name)) {
        base_fail(BASE_INPUT, "%s: only PNG and JPEG are read", path);
        rc = base_hint(BASE_INPUT, "convert it to PNG, or remove it");
    } else if (picture) {
        rc = S_ISREG(st.st_mode) ? add_picture(f, name, label) : base_fail(BASE_INPUT, "%s: not a regular file", path);
    }
    base_free(path);
    return rc;
}

static int add_folder(struct data_folder *f, const char *name, int label, const struct level *here)
{
    struct list entries = {0};
    char *path = data_join(f->root, name);
    int rc = path ? list_folder(&entries, path) : BASE_NOMEM;
    for (int i = 0; !rc && i < entries.n; i++) {
        char *below = data_join(name, entries.name[i]);
        rc = below ? add_entry(f, below, label, here) : BASE_NOMEM;
        base_free(below);
    }
    list_free(&entries);
    base_free(path);
    return rc;
}

/* ---- classes ---------------------------------------------------------------------------- */

/* The class folders of DIR/PART. A picture beside them belongs to no class. */
static int list_class_folders(struct list *out, const char *root)
{
    struct list all;
    *out = (struct list){0};
    int rc = list_folder(&all, root);
    for (int i = 0; !rc && i < all.n; i++) {
        const char *name = all.name[i];
        char *path = data_join(root, name);
        if (!path)
            rc = BASE_NOMEM;
        else if (is_folder(path))
            rc = list_add(out, name, strlen(name));
        else if (is_picture(name) || is_other_picture(name))
            rc = layout_hint(base_fail(BASE_INPUT, "%s: a picture outside the class folders", path));
        base_free(path);
    }
    list_free(&all);
    if (rc)
        list_free(out);
    return rc;
}

/* DIR/classes.txt: a class a line, in the order of the network's outputs. */
static int read_class_list(struct list *out, const char *path)
{
    uint8_t *bytes;
    size_t len;
    int line = 0, rc = base_file_read(&bytes, &len, path, 16 << 20);
    if (rc)
        return rc;
    for (const char *s = (char *)bytes, *end = s + len; !rc && s < end; line++) {
        const char *stop = memchr(s, '\n', (size_t)(end - s));
        stop = stop ? stop : end;
        size_t n = (size_t)(stop - s);
        n -= n && s[n - 1] == '\r';
        if (n == 0 || memchr(s, '/', n) || memchr(s, 0, n))
            rc = base_hint(base_fail(BASE_INPUT, "%s:%d: not the name of a folder", path, line + 1), "one class a line, no empty lines");
        else
            rc = list_add(out, s, n);
        s = stop + 1;
    }
    base_free(bytes);
    return rc;
}

/* A sorted copy: names must differ. */
static int check_unique(const struct list *l, const char *path)
{
    char **sorted = BASE_NEW_N(char *, l->n + 1);
    if (!sorted)
        return BASE_NOMEM;
    memcpy(sorted, l->name, (size_t)l->n * sizeof *sorted);
    qsort(sorted, (size_t)l->n, sizeof *sorted, by_name);
    int rc = BASE_OK;
    for (int i = 1; !rc && i < l->n; i++)
        if (!strcmp(sorted[i - 1], sorted[i]))
            rc = base_hint(base_fail(BASE_INPUT, "%s: class '%s' is there twice", path, sorted[i]), "one line for each class");
    base_free(sorted);
    return rc;
}

static int check_class_count(int n, const char *where, bool listed, const struct data_options *o)
{
    int want = o->shape.classes;
    if (n < 2 || n > DATA_MAX_CLASSES)
        return layout_hint(base_fail(BASE_INPUT, "%s: %d %s; 2 to %d are expected", where, n, listed ? "classes" : "class folders", DATA_MAX_CLASSES));
    if (want && n != want) {
        base_fail(BASE_INPUT, "%s: %d classes do not fit the network, which has %d outputs", where, n, want);
        return base_hint(BASE_INPUT, "list the outputs' class folders, one a line, in DIR/classes.txt; a class may be without pictures");
    }
    return BASE_OK;
}

/* Names in the order of labels: of classes.txt, else of `reference`, the part that defines them. */
static int list_classes(struct list *out, const char *dir, const char *reference, const struct data_options *o)
{
    *out = (struct list){0};
    char *path = data_join(dir, "classes.txt");
    if (!path)
        return BASE_NOMEM;
    bool listed = base_file_exists(path);
    int rc = listed ? read_class_list(out, path) : list_class_folders(out, reference);
    if (!rc && listed)
        rc = check_unique(out, path);
    if (!rc)
        rc = check_class_count(out->n, listed ? path : reference, listed, o);
    base_free(path);
    if (rc)
        list_free(out);
    return rc;
}

/* Label of each folder by its name, through a sorted index: there may be thousands. */
struct named { const char *name; int label; };

static int by_named(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static int unknown_class(const char *root, const char *name, const char *dir, const char *reference)
{
    char *path = data_join(dir, "classes.txt");
    bool listed = path && base_file_exists(path);
    base_fail(BASE_INPUT, "%s/%s: a class that is not in %s", root, name, listed ? path : reference);
    base_free(path);
    return base_hint(BASE_INPUT, listed ? "add it to classes.txt, or remove the folder" : "both parts must name their classes alike; an empty folder is enough");
}

static int add_classes(struct data_folder *f, const struct list *classes, const struct list *folders, const char *dir, const char *reference)
{
    struct named *index = BASE_NEW_N(struct named, classes->n);
    if (!index)
        return BASE_NOMEM;
    for (int i = 0; i < classes->n; i++)
        index[i] = (struct named){classes->name[i], i};
    qsort(index, (size_t)classes->n, sizeof *index, by_named);
    int rc = BASE_OK, empty = 0;
    const char *first_empty = "";
    for (int i = 0; !rc && i < folders->n; i++) {
        struct named key = {folders->name[i], 0};
        const struct named *found = bsearch(&key, index, (size_t)classes->n, sizeof *index, by_named);
        int before = f->n;
        rc = found ? add_entry(f, key.name, found->label, NULL) : unknown_class(f->root, key.name, dir, reference);
        if (!rc && f->n == before && !empty++)
            first_empty = key.name;
    }
    if (!rc && empty && f->n)
        base_log("%s/%s: no pictures%s", f->root, first_empty, empty > 1 ? ", nor in other class folders" : "");
    base_free(index);
    return rc;
}

/* ---- the parts ---------------------------------------------------------------------------- */

/* The folder of a part; NULL in *out if there is none. */
static int find_part(char **out, const char *dir, enum data_part part)
{
    static const char *const names[2][3] = {[DATA_TRAIN] = {"train", NULL}, [DATA_TEST] = {"test", "val", NULL}};
    *out = NULL;
    for (int i = 0; names[part][i]; i++) {
        char *path = data_join(dir, names[part][i]);
        if (!path)
            return BASE_NOMEM;
        if (is_folder(path)) {
            *out = path;
            return BASE_OK;
        }
        base_free(path);
    }
    return BASE_OK;
}

static int no_part(const char *dir, enum data_part part)
{
    if (!is_folder(dir))
        return layout_hint(base_fail(BASE_INPUT, "%s: no such folder", dir));
    return layout_hint(base_fail(BASE_INPUT, part == DATA_TRAIN ? "%s: there is no folder 'train' in it" : "%s: there is no folder 'test' (or 'val') in it", dir));
}

int data_folder_read(struct data_folder *f, const char *dir, enum data_part part, const struct data_options *o)
{
    struct list classes = {0}, folders = {0};
    char *train = NULL;
    *f = (struct data_folder){0};
    int rc = find_part(&f->root, dir, part);
    if (!rc && !f->root)
        rc = no_part(dir, part);
    if (!rc)
        rc = find_part(&train, dir, DATA_TRAIN);
    const char *reference = train ? train : f->root;
    if (!rc)
        rc = list_classes(&classes, dir, reference, o);
    if (!rc)
        rc = list_class_folders(&folders, f->root);
    if (!rc)
        rc = add_classes(f, &classes, &folders, dir, reference);
    if (!rc && f->n == 0)
        rc = layout_hint(base_fail(BASE_INPUT, "%s: no .png or .jpg file in its class folders", f->root));
    f->classes = classes.n;
    list_free(&classes);
    list_free(&folders);
    base_free(train);
    if (rc)
        data_folder_free(f);
    return rc;
}

void data_folder_free(struct data_folder *f)
{
    base_free(f->root);
    base_free(f->names);
    base_free(f->at);
    base_free(f->label);
    *f = (struct data_folder){0};
}
