import Foundation
import Machine
import Testing

@Suite("tidy · README's debugger") struct ReadmeDebuggerTests {
    @Test("README has every command of the debugger as the table has it") func commands() {
        let readme = Set(House.read("README.md").lines)
        #expect(DebugCommandTable.rows.count > 100)
        for row in DebugCommandTable.rows {
            func cell(_ text: String) -> String { text.replacingOccurrences(of: "|", with: "\\|") }
            let names = row.names.map { "`\($0)`" }.joined(separator: " ")
            let line = "| \(names)\(row.arguments.isEmpty ? "" : " " + cell(row.arguments)) | \(cell(row.help)) |"
            #expect(readme.contains(line), "README lacks: \(line)")
        }
    }
}
