/// A data file (theme, keymap, layout) that cannot be used as it is: where, and what to do about it.
public struct DataError: Error, Equatable, Sendable, CustomStringConvertible {
    public var file: String
    /// From 1; 0 when the file as a whole is meant.
    public var line: Int, column: Int
    public var message: String

    public init(file: String, line: Int = 0, column: Int = 0, message: String) {
        self.file = file
        self.line = line
        self.column = column
        self.message = message
    }

    public var description: String { line > 0 ? "\(file):\(line):\(column) \(message)" : "\(file): \(message)" }
}
