/// The nearest known word, for "did you mean".
public enum Nearest {
    /// The candidate with the fewest edits, if they are few for the word's length.
    public static func to(_ word: String, in candidates: some Sequence<String>) -> String? {
        let wanted = Array(word.lowercased())
        var best: (distance: Int, word: String)?
        for candidate in candidates {
            let d = distance(wanted, Array(candidate.lowercased()))
            if d < best?.distance ?? .max { best = (d, candidate) }
        }
        guard let best, best.distance <= max(1, wanted.count / 3) else { return nil }
        return best.word
    }

    /// ` (did you mean 'word'?)`, or nothing.
    public static func suggestion(_ word: String, in candidates: some Sequence<String>) -> String {
        to(word, in: candidates).map { " (did you mean '\($0)'?)" } ?? ""
    }

    /// Edits between two words; two letters swapped are one.
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
        var before: [Int] = [], previous = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var current = [i + 1]
            for (j, y) in b.enumerated() {
                var d = min(previous[j + 1] + 1, current[j] + 1, previous[j] + (x == y ? 0 : 1))
                if i > 0, j > 0, x == b[j - 1], a[i - 1] == y { d = min(d, before[j - 1] + 1) }
                current.append(d)
            }
            (before, previous) = (previous, current)
        }
        return previous[b.count]
    }
}
