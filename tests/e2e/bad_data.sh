# Data that is not what it should be, through the commands: each says at once which file, and which image. And fewer
# images than a batch, which is no error.
. "$(dirname "$0")/common.inc"
export BITPRESS_BOARDS=$root/boards
cd "$SCRATCH"
subset good 240 60
cat >my.yaml <<'END'
model: fmnist-cnn
data: idx:good
held_out: 140
out: float
verify: 1
train: {epochs: 2, batch: 50}
target: {cycles: 40000}
search: {trials: 2, validation: 100, batchnorm: 128}
finetune: {epochs: 1, top: 1}
END
printf 'default: {w_bits: 4, a_bits: 4}\n' >r.yaml
"$BITPRESS" train my.yaml --quiet >/dev/null || fail "train"

# variant NAME FILE: the good set with FILE of its own (from standard input)
variant() { mkdir "$1" && ln -s "$PWD"/good/* "$1" && rm "$1/$2" && cat >"$1/$2"; }
images=t10k-images-idx3-ubyte labels=t10k-labels-idx1-ubyte
head -c 30000 good/$images | variant cut $images
{ head -c 13 good/$labels; printf '\013'; tail -c +15 good/$labels; } | variant label $labels
{ head -c 15 good/$images; printf '\035'; tail -c +17 good/$images; } | variant wide $images
gzip -c good/$images >whole.gz
variant packed $images </dev/null && rm packed/$images && head -c 9000 whole.gz >packed/$images.gz
# npy NAME TYPE ORDER SHAPE: an array of the numbers on standard input
npy() {
    { printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '$2', 'fortran_order': $3, 'shape': ($4), }" && cat; } >"$1.npy"
}
tail -c +17 good/$images >pixels && tail -c +9 good/$labels >classes && head -c 59 classes >few
npy x '|u1' False '60, 28, 28, 1' <pixels
npy y '|u1' False '60,' <classes
npy fortran '|u1' True '60, 28, 28, 1' <pixels
npy float '<f4' False '15, 28, 28, 1' <pixels
npy first '|u1' False '60, 1, 28, 28' <pixels
npy short '|u1' False '59,' <few
${CC:-cc} -O1 -o png_folder "$root/tests/e2e/png_folder.c" -lpng -lz
./png_folder pictures 240 60 1
bad=$(ls pictures/test/*/* | sed -n 30p) && cp -r pictures spoilt && head -c 90 "$bad" >"spoilt/${bad#pictures/}"

# refused SPEC TEXT: by eval and, in front of their work, by apply and compress
refused() {
    sed "s|^data:.*|data: $1|; s|^model:.*|model: float/model.onnx|; s|^out:.*|out: c|" my.yaml >bad.yaml
    for command in "eval float/model.onnx --data $1" "apply float/model.onnx --recipe r.yaml --data $1 --held-out 10 --out a" "compress bad.yaml"; do
        rc=0 && "$BITPRESS" $command --quiet >out.txt 2>&1 || rc=$?
        [ $rc -eq 2 ] && grep -qF "$2" out.txt || fail "$command: exit code $rc: $(cat out.txt)"
        [ "$(grep -c . out.txt)" -le 2 ] || fail "$command says more than its error and a hint: $(cat out.txt)"
        [ ! -e a/best.bpk ] && [ ! -d c/cycles ] || fail "$command began its work"
        case $1 in images:*) return ;; esac # the test part's pictures are decoded when they are needed
    done
}
refused idx:cut "cut/$images: 29984 bytes of data where its header promises 47040: truncated"
refused idx:label "label/$labels: label 11 of image 5 is not in 0..9"
refused idx:wide "wide/$images: 47040 bytes of data where its header promises 48720"
refused idx:packed "packed/$images.gz: truncated or corrupt gzip data"
refused idx:none "none/"
refused npy:x.npy,y.npy,fortran.npy,y.npy "fortran.npy: an array in C order is expected"
refused npy:x.npy,y.npy,float.npy,y.npy "float.npy: uint8 [n][height][width][channels] is expected, not <f4"
refused npy:x.npy,y.npy,first.npy,y.npy "first.npy: [n][1][28][28]: the channels must come last"
refused npy:x.npy,y.npy,x.npy,short.npy "short.npy: 59 labels for the 60 images of x.npy"
refused npy:x.npy,y.npy,x.npy "two files or four are expected"
refused images:spoilt "spoilt/${bad#pictures/}: corrupt PNG"

# 100 images to learn from, fewer than a batch of 128.
sed 's|^model:.*|model: float/model.onnx|; s|^out:.*|out: small|' my.yaml >small.yaml
"$BITPRESS" compress small.yaml --quiet >/dev/null 2>small.txt || [ $? -eq 1 ] || fail "$(cat small.txt)"
[ -s small/best.bpk ] || fail "no pack of 100 images: $(cat small.txt)"
"$BITPRESS" eval small/best.bpk --data idx:good --quiet >/dev/null || fail "eval"
