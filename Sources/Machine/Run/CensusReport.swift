import CPU

/// The census of sensitive instructions as it goes to the outside: JSON of `--stats`, text of `info census`.
public struct CensusReport: Codable, Equatable, Sendable {
    public struct Line: Codable, Equatable, Sendable {
        /// As in `SensitiveInstruction.word`.
        public var instruction = ""
        /// `ring 0` to `ring 3`, `V86`, `real`.
        public var place = ""
        public var executed: UInt64 = 0
        public var faulted: UInt64 = 0
        /// CS:offset and linear address of the last, hexadecimal.
        public var last = ""
        public var linear = ""
    }
    /// Instructions that ran as host code, and those that the interpreter carried out.
    public var direct: UInt64 = 0
    public var emulated: UInt64 = 0
    /// Only what has run at all, by instruction and place.
    public var sensitive: [Line] = []

    public init() {}

    public init(_ census: Census) {
        (direct, emulated) = (census.instructions - census.emulated, census.emulated)
        for what in SensitiveInstruction.allCases {
            for place in CensusPlace.allCases {
                let cell = census[what, place]
                guard cell.executed > 0 || cell.faulted > 0 else { continue }
                sensitive.append(
                    Line(
                        instruction: what.word, place: place.name, executed: cell.executed, faulted: cell.faulted, last: cell.position,
                        linear: CensusReport.hex(cell.linear, 8)))
            }
        }
    }

    static func hex(_ value: UInt64, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }

    /// For people: a table with one line for each instruction and place that has run.
    public static func text(_ census: Census) -> String {
        let share = Int((census.directShare * 1000).rounded())
        var text = "\(census.instructions) instructions, \(share / 10).\(share % 10) % of them directly as host code, \(census.emulated) emulated\n"
        text += "instruction    where       executed     faulted  last at\n"
        func left(_ value: String, _ width: Int) -> String { value + String(repeating: " ", count: max(0, width - value.count)) }
        func right(_ value: UInt64) -> String {
            let number = String(value)
            return String(repeating: " ", count: max(0, 11 - number.count)) + number
        }
        for what in SensitiveInstruction.allCases {
            var lines: [String] = []
            for place in CensusPlace.allCases {
                let cell = census[what, place]
                guard cell.executed > 0 || cell.faulted > 0 else { continue }
                lines.append("\(left(place.name, 7)) \(right(cell.executed)) \(right(cell.faulted))  \(cell.position)")
            }
            if lines.isEmpty { lines = ["-"] }
            for line in lines { text += "\(left(what.name, 14)) \(line)\n" }
        }
        return text
    }
}

extension CensusCell {
    /// CS:offset of the last, hexadecimal.
    public var position: String { "\(CensusReport.hex(UInt64(selector), 4)):\(CensusReport.hex(offset, 4))" }
}
