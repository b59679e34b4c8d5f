import Foundation

/// Sizes of disks as people spell them: `512M`, `8G`, `1.5T`; powers of 1024.
public enum ByteSize {
    private static let units: [(letter: Character, shift: UInt64)] = [("K", 10), ("M", 20), ("G", 30), ("T", 40)]

    /// - Parameter range: of bytes that make sense.
    /// - Throws: `.usage` with a sentence.
    public static func parse(_ text: String, what: String = "A size", in range: ClosedRange<UInt64> = 0...(.max)) throws(MachineError)
        -> UInt64
    {
        let invalid = MachineError.usage("\(what) is a number with M, G or T behind it, for example 8G; '\(text)' is not.")
        guard let match = text.wholeMatch(of: /([0-9]{1,15})(?:\.([0-9]{1,3}))?([KMGTkmgt])?(?:[Ii]?[Bb])?/) else { throw invalid }
        let letter = match.3?.uppercased().first
        // A number alone would be bytes to some and MiB to others.
        guard letter != nil || text == "0", let whole = UInt64(match.1) else { throw invalid }
        let shift = units.first { $0.letter == letter }?.shift ?? 0
        let (bytes, overflow) = whole.multipliedReportingOverflow(by: 1 << shift)
        let tooLarge = MachineError.usage(
            "\(what) of \(text) is out of range; it may be \(self.text(range.lowerBound)) to \(self.text(range.upperBound)).")
        guard !overflow else { throw tooLarge }
        var total = bytes
        if let decimals = match.2, let part = Double("0." + decimals) {
            let (sum, overflow) = bytes.addingReportingOverflow(UInt64(part * Double(1 << shift)))
            guard !overflow else { throw tooLarge }
            total = sum
        }
        guard range.contains(total) else { throw tooLarge }
        return total
    }

    /// As `parse` takes it where it is even, otherwise rounded to a tenth: `8G`, `1.4M`.
    public static func text(_ bytes: UInt64) -> String {
        guard let unit = units.last(where: { bytes >> $0.shift > 0 }) else { return bytes == 0 ? "0" : "\(bytes)B" }
        let (whole, rest) = bytes.quotientAndRemainder(dividingBy: 1 << unit.shift)
        if rest == 0 { return "\(whole)\(unit.letter)" }
        return String(format: "%.1f", Double(bytes) / Double(UInt64(1) << unit.shift)) + String(unit.letter)
    }

    /// A spelling that `parse` gives back exactly, for command lines.
    public static func exact(_ bytes: UInt64) -> String {
        guard bytes > 0 else { return "0" }
        let unit = units.last { bytes >> $0.shift > 0 && bytes & (1 << $0.shift - 1) == 0 } ?? units[0]
        return "\(bytes >> unit.shift)\(unit.letter)"
    }
}
