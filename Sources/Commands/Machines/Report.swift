import ArgumentParser
import Foundation
import Machine

/// What a verb has to say: one value, two renderings.
protocol Report: Encodable {
    /// For people, without a newline at the end; may be empty.
    var text: String { get }
}

struct OutputOptions: ParsableArguments {
    @Flag(help: "JSON in place of text.") var json = false
}

extension Host {
    /// - Throws: `.failed` when a value is none that JSON has.
    func say(_ report: some Report, _ output: OutputOptions) throws(MachineError) {
        guard output.json else {
            if !report.text.isEmpty { standardOutput(report.text + "\n") }
            return
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.dateEncodingStrategy = .iso8601
        let data: Data
        do {
            data = try encoder.encode(report)
        } catch {
            throw .failed("The answer cannot be written as JSON: \(error.localizedDescription).")
        }
        standardOutput(String(decoding: data, as: UTF8.self) + "\n")
    }
}

/// A table for the terminal: columns as wide as their widest cell, the last one ragged.
enum TextTable {
    static func text(_ rows: [[String]]) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
            }
            return String(line.reversed().drop { $0 == " " }.reversed())
        }.joined(separator: "\n")
    }
}
