#!/usr/bin/env bash
# The recipes as they are reach what they promise on two cores, and the text model writes words. For a quiet machine: it looks at the clock.
#
#   tests/acceptance/accuracy.sh           both recipes to their end
#   tests/acceptance/accuracy.sh --short   a few steps: training and predict work, and the text of an untrained model is told apart
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_fashion_mnist
build

# What is asked for. Of 100 words of a sample, these many are words of the training text: 52 to 62 where the recipe wrote it (five seeds), 8 to 15 before
# training; where each byte was drawn from what follows the one, two or three bytes before it in the text: 17, 37, 60; of the text's last tenth: 87.
least_accuracy=0.91 most_image_seconds=720
most_nats=2.0 most_text_seconds=600
least_known_words=40

length=()
sample_bytes=1000
$short && length=(--set stop.epochs=0 --set stop.steps=4) && sample_bytes=400
test_images=/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz

# timed NAME ARGUMENTS...: a whole run; its seconds, start and end included, go to $work/NAME.seconds
timed() {
  local name=$1 start=$SECONDS
  train "$@" && echo $((SECONDS - start)) >"$work/$name.seconds"
}

# compare A OPERATOR B: of two numbers; what is none, such as null or NaN, awk would compare as text
compare() {
  echo "$1 $2 $3"
  grep -Eqx -- '-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?' <<<"$1" && awk -v a="$1" -v b="$3" "BEGIN { exit !(a $2 b) }"
}

# predict NAME FILE ARGUMENTS...: what a run answers goes to $work/FILE
predict() {
  local name=$1 file=$2
  shift 2
  "$disttrain" predict "$work/$name" "$@" </dev/null >"$work/$file"
}

# The words of two letters and more, one a line, in small letters.
words() {
  LC_ALL=C tr -cs 'A-Za-z' '\n' | LC_ALL=C tr 'A-Z' 'a-z' | { LC_ALL=C grep -E '^..' || true; }
}

# known_words FILE: how many of a hundred words of a file occur in the text that was trained on; 0 where it has no words
known_words() {
  local all known
  all=$(words <"$1" | wc -l)
  known=$(words <"$1" | LC_ALL=C grep -cxF -f "$work/vocabulary" || true)
  echo $((all > 0 ? 100 * known / all : 0))
}

compares_numbers() {
  local other
  for other in "" null NaN Infinity -; do
    ! compare "$other" ">=" 0.91 && ! compare "$other" "<" 2.0 || return 1
  done
  compare 0.9125 ">=" 0.91 && compare 9e-1 "<" 2.0 && ! compare 0.9 ">=" 0.91
}
check "control: only numbers are compared" compares_numbers

# Images.
check "fashion-mnist-cnn trains" timed images fashion-mnist-cnn "${length[@]}"
if ! $short; then
  check "its validation accuracy, $(summary images accuracy), is at least $least_accuracy" compare "$(summary images accuracy)" ">=" $least_accuracy
  check "it took $(cat "$work/images.seconds") s, at most $most_image_seconds" compare "$(cat "$work/images.seconds")" "<=" $most_image_seconds
fi
check "predict names validation images" predict images labelled --count 50
check "predict names the images of a file" predict images unlabelled --count 50 --input "$test_images"
check "50 images have a name, a probability and a label" test "$(grep -cE '^image [0-9]+: [0-9], probability [01]\.[0-9]+, labelled [0-9]$' "$work/labelled")" -eq 50
check "a file of the same images gives the same answers" diff <(sed 's/, labelled .*//' "$work/labelled") "$work/unlabelled"

# Text.
check "gpt-bytes trains" timed text gpt-bytes "${length[@]}"
if ! $short; then
  check "its validation loss, $(summary text loss) nats per byte, is below $most_nats" compare "$(summary text loss)" "<" $most_nats
  check "it took $(cat "$work/text.seconds") s, at most $most_text_seconds" compare "$(cat "$work/text.seconds")" "<=" $most_text_seconds
fi
gzip -dc "$root/src/DistTrain.Training/Data/devils-dictionary.txt.gz" >"$work/text.txt"
head -c "$(($(wc -c <"$work/text.txt") * 9 / 10))" "$work/text.txt" | words | sort -u >"$work/vocabulary"
check "predict writes a text" predict text sample --length $sample_bytes
check "predict writes it again" predict text again --length $sample_bytes
check "predict writes another" predict text other --length $sample_bytes --seed 2
check "predict continues a prompt" predict text prompted --prompt "LIBERTY, n." --length 40 --temperature 0
check "predict writes what it would have before it was trained" predict text/checkpoints/step-00000000 untrained --length $sample_bytes
check "the same seed gives the same text" cmp "$work/sample" "$work/again"
check "another seed gives another text" test "$(cmp -s "$work/sample" "$work/other"; echo $?)" -eq 1
check "the prompt stands before what follows" test "$(head -c 11 "$work/prompted") $(($(wc -c <"$work/prompted") > 50))" = "LIBERTY, n. 1"
check "control: before it was trained, $(known_words "$work/untrained") of 100 words are words of the text, fewer than $least_known_words" \
  test "$(known_words "$work/untrained")" -lt $least_known_words
head -n 20 "$work/text.txt" >"$work/original"
check "control: the text itself has only known words" test "$(known_words "$work/original")" -eq 100
if ! $short; then
  check "$(known_words "$work/sample") of 100 words of the sample are words of the text, at least $least_known_words" \
    test "$(known_words "$work/sample")" -ge $least_known_words
fi
echo "        The sample:"
LC_ALL=C tr -c '[:print:]\n' '?' <"$work/sample" | sed 's/^/        /'
check "no process is left" nothing_left
finish
