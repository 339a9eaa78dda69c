// SPDX-License-Identifier: Apache-2.0

import com.sun.source.tree.ClassTree;
import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.IdentifierTree;
import com.sun.source.tree.MemberSelectTree;
import com.sun.source.tree.Tree;
import com.sun.source.util.JavacTask;
import com.sun.source.util.TreePath;
import com.sun.source.util.TreePathScanner;
import com.sun.source.util.Trees;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.lang.model.element.Element;
import javax.lang.model.element.TypeElement;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/**
 * What javac takes the names in sources for: java _java_types.java LIST OUTPUT, where LIST has a
 * source file a line and the classes go into the folder OUTPUT. Prints, with tabs between,
 *
 * <pre>
 * names  FILE  FILE    a name in the first, imports included, stands for a type of the second
 * class  NAME  FILE    a top-level class and its source
 * </pre>
 */
final class JavaTypes {
  public static void main(String[] arguments) throws IOException {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    StandardJavaFileManager manager = compiler.getStandardFileManager(null, null, null);
    List<String> options =
        List.of("-proc:none", "-nowarn", "-Xlint:none", "-encoding", "UTF-8", "-d", arguments[1]);
    List<String> files = Files.readAllLines(Path.of(arguments[0]));
    DiagnosticCollector<JavaFileObject> found = new DiagnosticCollector<>();
    JavacTask task =
        (JavacTask)
            compiler.getTask(
                null, manager, found, options, null, manager.getJavaFileObjectsFromStrings(files));
    List<CompilationUnitTree> units = new ArrayList<>();
    task.parse().forEach(units::add);
    task.analyze();
    Trees trees = Trees.instance(task);
    for (CompilationUnitTree unit : units) {
      String file = unit.getSourceFile().getName();
      for (Tree declared : unit.getTypeDecls()) {
        if (declared instanceof ClassTree) {
          Element element = trees.getElement(TreePath.getPath(unit, declared));
          System.out.println("class\t" + ((TypeElement) element).getQualifiedName() + "\t" + file);
        }
      }
      new Names(trees, file).scan(unit, null);
    }
    task.generate();
    boolean failed = false;
    for (Diagnostic<?> message : found.getDiagnostics()) {
      if (message.getKind() == Diagnostic.Kind.ERROR) {
        System.err.println(message);
        failed = true;
      }
    }
    System.exit(failed ? 1 : 0);
  }

  /** Looks at every identifier and selection of a file. */
  private static final class Names extends TreePathScanner<Void, Void> {
    private final Trees trees;
    private final String file;

    Names(Trees trees, String file) {
      this.trees = trees;
      this.file = file;
    }

    @Override
    public Void visitIdentifier(IdentifierTree tree, Void nothing) {
      note();
      return super.visitIdentifier(tree, nothing);
    }

    @Override
    public Void visitMemberSelect(MemberSelectTree tree, Void nothing) {
      note();
      return super.visitMemberSelect(tree, nothing);
    }

    private void note() {
      Element element = trees.getElement(getCurrentPath());
      if (element instanceof TypeElement) {
        TreePath declared = trees.getPath(element);
        if (declared != null) {
          String needed = declared.getCompilationUnit().getSourceFile().getName();
          System.out.println("names\t" + file + "\t" + needed);
        }
      }
    }
  }
}
