import DataFiles

extension MachineFile {
    /// Changes the settings in the text: values are replaced in place, new keys go to the end of their table, keys that have nothing more to
    /// say go with their lines. Comments, order and blanks stay.
    /// - Throws: when the result would not be read back as `new`; nothing is changed then.
    public mutating func change(to new: MachineSettings) throws(DataError) {
        var bytes = Array(text.utf8)
        for change in SettingChange.all(from: settings, to: new) {
            let layout = TOMLLayout(bytes)
            guard layout.isWhole else { throw unable(change) }
            bytes = MachineFile.edited(bytes, layout, change)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw DataError(file: path, message: "is not UTF-8 text") }
        let result = try MachineFile(text: text, path: path)
        if let left = SettingChange.all(from: result.settings, to: new).first { throw unable(left) }
        self = result
    }

    private func unable(_ change: SettingChange) -> DataError {
        DataError(
            file: path,
            message:
                "'\(change.field.key)' cannot be changed where it is written; change it with an editor to \(MachineFile.literal(change.after, change.field))"
        )
    }

    private static func edited(_ bytes: [UInt8], _ layout: TOMLLayout, _ change: SettingChange) -> [UInt8] {
        let path = change.field.key.split(separator: ".").map(String.init)
        let lineEnd = bytes.firstIndex(of: 0x0A).map { $0 > 0 && bytes[$0 - 1] == 0x0D ? "\r\n" : "\n" } ?? "\n"
        // A reader may or may not turn CR LF inside of text into LF: there it stays on one line.
        let value = lineEnd == "\n" ? literal(change.after, change.field) : literal(change.after, change.field, oneLine: true)
        var result = bytes
        if let entry = layout.entry(path) {
            if change.after.isEmpty, !entry.isInline {
                result.removeSubrange(entry.lineStart..<layout.lineEnd(entry.value.upperBound))
            } else {
                result.replaceSubrange(entry.value, with: Array(value.utf8))
            }
            return result
        }
        guard !change.after.isEmpty else { return result }
        let (section, key) = (path[0], keyName(change.field))
        if let braces = layout.braces.first(where: { $0.path == [section] }) {
            result.insert(contentsOf: Array("\(braces.isEmpty ? "" : ",") \(key) = \(value) ".utf8), at: braces.close)
        } else if let table = layout.tables.first(where: { $0.path == [section] }) {
            let own = layout.entries.filter { $0.table == [section] && !$0.isInline }
            let end = own.map { layout.lineEnd($0.value.upperBound) }.max() ?? table.end
            insert("\(key) = \(value)", at: end, lineEnd, into: &result)
        } else if let last = layout.entries.last(where: { $0.path.first == section && !$0.isInline }) {
            insert("\(section).\(key) = \(value)", at: layout.lineEnd(last.value.upperBound), lineEnd, into: &result)
        } else {
            let gap = bytes.isEmpty ? "" : lineEnd
            insert("\(gap)[\(section)]\(lineEnd)\(key) = \(value)", at: bytes.count, lineEnd, into: &result)
        }
        return result
    }

    /// A line of its own.
    private static func insert(_ line: String, at position: Int, _ lineEnd: String, into bytes: inout [UInt8]) {
        let isOpen = position > 0 && bytes[position - 1] != 0x0A
        bytes.insert(contentsOf: Array(((isOpen ? lineEnd : "") + line + lineEnd).utf8), at: position)
    }
}
